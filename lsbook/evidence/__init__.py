"""The claims, the rule that decides them, and what others have published."""
