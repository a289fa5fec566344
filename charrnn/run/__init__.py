"""The run directory: the only thing that training leaves and inference needs.

    runs/NAME/
      config.yaml          the resolved configuration
      vocabulary.json      the characters in id order
      model.safetensors    the best weights by validation loss, float32
      model.json           what they are: the ModelCard, with their checksum
      metrics.jsonl        one object a line
      last/                what --resume needs
      .lock                held by the one training that may write here

During a save, `model.safetensors.next` holds the weights that are about to take their place.

`reader` reads it and trusts nothing, `writer` writes it and is whole at every moment.
"""
