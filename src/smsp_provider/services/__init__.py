"""How each mini service is answered, as decision procedures without I/O: generators that ask and are told."""
