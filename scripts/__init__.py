"""What the project runs on itself: documentation that is made, pictures of the terminal."""
