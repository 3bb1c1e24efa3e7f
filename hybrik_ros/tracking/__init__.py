"""People over time: which person is which, and what is remembered of each."""

from hybrik_ros.tracking.association import sight
from hybrik_ros.tracking.shape import ShapeEstimate
from hybrik_ros.tracking.track import Memory, Sighting, State, Track
from hybrik_ros.tracking.tracker import MAX_INTERVAL, Seen, Tracker

__all__ = [
    'MAX_INTERVAL', 'Memory', 'Seen', 'ShapeEstimate', 'Sighting', 'State', 'Track', 'Tracker',
    'sight',
]  # fmt: skip
