from hub_fixtures import cache, files, folder, hub, repo, server

__all__ = ["cache", "files", "folder", "hub", "repo", "server"]
