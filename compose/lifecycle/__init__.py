"""The life of one deployment: deploy, update, rollback, backup, restore, start, stop, status."""
