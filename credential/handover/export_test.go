package handover

// Image is image.
var Image = image
