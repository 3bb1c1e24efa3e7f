"""Process recordings into bags with people, on one machine or on a cluster."""
