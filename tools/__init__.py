"""What builds and checks the book.  Knows the book, never the algorithms."""
