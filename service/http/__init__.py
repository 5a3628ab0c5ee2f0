"""What requests and answers are made of: bodies and limits on the way in, documents and problems on the way out."""
