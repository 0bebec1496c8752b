"""What is wrong with a wheel, whoever made it: rules over one frozen value."""
