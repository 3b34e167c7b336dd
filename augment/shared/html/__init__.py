"""What reports and displays in notebooks have in common: small images inside HTML."""
