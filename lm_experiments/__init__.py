"""Language models through three stages on real text: corpora, a training loop, a stage graph, and studies of the paper's figures."""
