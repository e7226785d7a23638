"""What is read outside the notebooks: the article, the site, the RO-Crate."""
