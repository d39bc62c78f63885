"""From a video file to windows of frames: reading, finding cuts, windows."""
