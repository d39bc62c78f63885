"""The subcommands, a module each: options in, one library call, an exit code out."""
