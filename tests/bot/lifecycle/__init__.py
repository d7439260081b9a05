"""The lifecycle stage: deploy, update, rollback and backup, each done for real on its own stack."""
