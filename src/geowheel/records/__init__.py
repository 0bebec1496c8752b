"""What a stage leaves behind: its record in the ledger."""
