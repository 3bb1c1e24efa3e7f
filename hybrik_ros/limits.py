"""Maximum sizes of what is read from files and messages, so that a small file cannot fill memory.

Each limit is several times what real data needs. SECURITY.md lists them.
"""

# Images

# Pixels of a compressed image in a message; as RGB it has 200 MB.
MAX_IMAGE_PIXELS = 2**26
# Pixels and bytes of a picture in a file; phones have cameras of 108 megapixels.
MAX_PHOTO_PIXELS = 2**27
MAX_PHOTO_BYTES = 2**30
# Pixels of a frame of a video; 8K has half as many. FFmpeg itself refuses frames of 2^28 pixels.
MAX_VIDEO_PIXELS = 2**26

# Names

# Characters of the name of a frame, an encoding, a lens or a body model in a message; tf2 and ROS
# set no limit.
MAX_NAME_CHARACTERS = 256

# Bags

# Bytes of a message after decompression: a raw image of MAX_IMAGE_PIXELS with 4 bytes per pixel.
MAX_MESSAGE_BYTES = 2**28
# Bytes of the chunks of an mcap file that overlap in time, after decompression. Recorders close a
# chunk at some megabytes, or after one message.
MAX_CHUNK_BYTES = 2**29
# Bytes of a schema or a channel of an mcap file, and of all of them together; the definition of a
# type with all that it contains has some kilobytes.
MAX_DEFINITION_BYTES = 2**24
# Bytes of a message with people; 300 people with vertices have 26 MB.
MAX_PEOPLE_BYTES = 2**25
# Ratio of the sizes of a compressed bag file after and before decompression, and bytes below which
# the ratio does not count. Images of one colour have a ratio of about 100 in mcap.
MAX_BAG_RATIO = 500
MIN_BAG_BYTES = 2**30

# Body files and checkpoints

# Bytes of a body file, as stored and unpacked; SMPL with all its 300 shape directions has 90 MB
# as .npz and 250 MB as .pkl.
MAX_BODY_BYTES = 2**30
# Objects that a pickle may number; those of SMPL have some hundred.
MAX_PICKLE_MEMO = 10**6
# Elements of a sparse matrix made dense; SMPL's regressor has 165,360.
MAX_SPARSE_ELEMENTS = 10**7
# Bytes of a checkpoint, as stored and unpacked; HRNet-W48 has 0.4 GB.
MAX_CHECKPOINT_BYTES = 2**31

# Packages

# Bytes of a file that is extracted from a package; the largest video of the benchmarks has 4 MB.
MAX_MEMBER_BYTES = 2**26

# Motion

# Frames of a motion file, with those in gaps: nine hours at 30 Hz.
MAX_MOTION_FRAMES = 10**6
# Frames of a bag of people, and people in all of them together; in memory each has 6 kB.
MAX_BAG_PEOPLE = 10**6

# Texts

# Bytes of a calibration; camera_calibration writes 1 kB.
MAX_YAML_BYTES = 2**17
# Bytes of a JSON file of this package, the values of which can take 25 times as much memory. A
# report with the state of six people has 1 MB.
MAX_JSON_BYTES = 2**24
# Bytes of the sidecar of an engine, which has 1 kB.
MAX_SIDECAR_BYTES = 2**16
# Bytes of a TensorRT engine; those of HRNet-W48 have 0.3 GB.
MAX_ENGINE_BYTES = 2**32
# Characters of a text on the terminal, in a log or in a diagnostic; longer ones are cut.
MAX_SHOWN_CHARACTERS = 2000
