"""What is mended of Faust and its libraries: a module a kind, each mend with what it is for and what it needs."""
