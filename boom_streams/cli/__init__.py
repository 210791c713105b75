"""The command ``boom-streams``: one file a verb, or a group of verbs."""
