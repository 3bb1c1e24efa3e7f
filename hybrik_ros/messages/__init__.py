"""Conversion from and to ROS messages, with the message classes of ROS or of rosbags.

Received messages are read by their field names; messages to send are built from given classes.
"""
