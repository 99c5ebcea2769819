package code

// NormaliseEmail and NormalisePhone return the one spelling of an address.
var (
	NormaliseEmail = email
	NormalisePhone = phone
)

// CheckedEmail is what is left of an address of which the app's own Normalise
// thinks that it is one.
func CheckedEmail(typed string) (string, error) {
	return checked(Email, func(s string) (string, error) { return s, nil })(typed)
}
