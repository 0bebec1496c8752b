"""What goes into wheels as it stands here."""
