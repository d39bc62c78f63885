"""From a video file to windows of frames: reading, cutting at fixed times, cutting at scenes."""
