"""What is in ROS's messages, whoever made their classes: ROS itself, or rosbags without ROS.

Messages that come in are read by the names of their fields alone; those that go out are made of
the classes that are given.
"""
