package passkey

// Usable is usable.
var Usable = usable
