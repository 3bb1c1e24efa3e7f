"""From pixels to joints: detection of people and estimation of their joints."""
