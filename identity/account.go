package identity

// Account is "namespace/service-account"; empty for the zero ID.
func (i ID) Account() string {
	if i.IsZero() {
		return ""
	}
	return i.Namespace + "/" + i.ServiceAccount
}
