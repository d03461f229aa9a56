"""What several questions do to images, and what they measure on the answers."""
