"""The express lane: requests and answers of the common shape, on protocols of our own."""
