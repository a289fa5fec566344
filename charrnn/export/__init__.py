"""A trained model in other forms: a page for the browser, an ONNX file, a card for the Hub."""
