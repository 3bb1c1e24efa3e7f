"""From pixels to joints: who is in the image, and where their joints are."""
