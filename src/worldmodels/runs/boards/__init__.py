"""Where a training's curves are shown while it works: TensorBoard, Weights & Biases or Trackio, each in a file of its own."""
