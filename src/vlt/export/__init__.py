"""Export of a checkpoint to graphs that ONNX Runtime runs without PyTorch.

Read in this order:

    run        a checkpoint to one with graphs
    parts      what becomes a graph, with inputs of many sizes; graphs has the modules
    trace      a module to a graph; operators replaces what would be traced badly
    weights    a graph reads its weights from the checkpoint's own files
    check      a graph against the network
    web        a page that runs the graphs in a browser; page/ is built from web/ of the repository
"""
