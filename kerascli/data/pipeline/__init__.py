"""From columns to rows: transforms learn, then prepare each split."""
