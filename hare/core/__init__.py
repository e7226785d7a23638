"""The basis of every stage: errors, paths, files, profiles, the record of a stage, statistics."""
