"""The network: what a guest may request, how it is dialled, which key goes where."""
