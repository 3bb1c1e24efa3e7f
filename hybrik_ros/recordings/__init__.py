"""Recordings in, bags with people out: on one machine or many."""
