package rpc

// discoverMethod answers with an OpenRPC document made of the table that
// dispatches. Source: OpenRPC specification 1.2.6.
func (s *Server) discoverMethod() Method {
	return Method{Name: "rpc.discover", Doc: "Describes every method, as an OpenRPC document.", Access: Read,
		Handler: func(*Call) (any, error) { return s.openRPC(), nil }}
}

type openRPC struct {
	OpenRPC string       `json:"openrpc"`
	Info    openInfo     `json:"info"`
	Methods []openMethod `json:"methods"`
}

type openInfo struct {
	Title   string `json:"title"`
	Version string `json:"version"`
}

type openMethod struct {
	Name    string      `json:"name"`
	Summary string      `json:"summary"`
	Params  []openParam `json:"params"`
	Result  openParam   `json:"result"`
}

type openParam struct {
	Name        string            `json:"name"`
	Description string            `json:"description,omitempty"`
	Required    bool              `json:"required,omitempty"`
	Schema      map[string]string `json:"schema"`
}

func (s *Server) openRPC() openRPC {
	doc := openRPC{OpenRPC: "1.2.6", Info: openInfo{"zinit", s.opt.Version}, Methods: []openMethod{}}
	for _, m := range s.list {
		om := openMethod{Name: m.Name, Summary: m.Doc, Params: []openParam{}, Result: openParam{Name: "result", Schema: map[string]string{}}}
		for _, p := range m.Params {
			om.Params = append(om.Params, openParam{p.Name, p.Doc, p.Required, p.schema()})
		}
		doc.Methods = append(doc.Methods, om)
	}
	return doc
}

// schema is empty for a parameter of any type.
func (p Param) schema() map[string]string {
	if p.Type == "any" {
		return map[string]string{}
	}
	return map[string]string{"type": p.Type}
}
