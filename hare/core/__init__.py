"""What every stage stands on: errors, paths, files, profiles, the record of a stage, statistics."""
