"""What the tenant's status list means: matching, evidence, progress, cancelling, adoption. Pure."""
