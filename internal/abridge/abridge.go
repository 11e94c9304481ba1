// Package abridge has bytes stand for what the JSON of Kubernetes' objects says over and over.
package abridge

import "strings"

// Shorten returns a text of JSON in which single bytes stand for what is often said, and one for a stem that this object says often. A stem that is
// short stands for itself.
func Shorten(text, stem string) string {
	if len(stem) >= leastStem {
		text = strings.ReplaceAll(text, stem, stemMark)
	}
	return shorten.Replace(text)
}

// Full returns the text that Shorten has made of it, with the same stem.
func Full(short, stem string) string {
	return strings.ReplaceAll(amplify.Replace(short), stemMark, stem) // there is no such mark if the stem is short
}

// stemMark stands for a stem. It is none of marks.
const stemMark = "\xfc"

// leastStem is how long a stem is at least: shorter ones are in what often has, and would keep that from being found.
const leastStem = 8

// often is in the text of many objects: a byte stands for each that no JSON has.
var often = []string{
	`{"metadata":{"generation":1,"uid":"`, `{"metadata":{"uid":"`, `"},"spec":{"containers":[{"ports":[{"containerPort":`, `,"protocol":"TCP"}`, `,"name":"`, `]}],"nodeName":"`,
	`","serviceAccountName":"`, `"},"status":{"conditions":[{"status":"True","type":"Ready"}],"phase":"Running","podIP":"`,
	`"},"status":{"conditions":[{"status":"False","type":"Ready"}],"phase":"Running","podIP":"`,
	`{"addressType":"IPv4","endpoints":[{"addresses":["`, `"],"conditions":{"ready":true,"serving":true,"terminating":false},"targetRef":{"kind":"Pod","name":"`,
	`"}},{"addresses":["`, `"}}],"metadata":{"`, `"],"conditions":{"ready":`, `"targetRef":{"kind":"Pod","name":"`, `"ports":[{"`, `"appProtocol":"`, `"targetPort":`,
	`"spec":{"clusterIP":"`, `"clusterIPs":["`, `"selector":{"`, `"type":"ClusterIP"`, `"generation":`, `"uid":"`,
	`"},"zone":"`, `"},{"addresses":["`, `"}],"metadata":{"generation":`, `"],"conditions":{"ready":false,"serving":false,"terminating":false},"targetRef":{"kind":"Pod","name":"`,
	`"internalTrafficPolicy":"Cluster","ipFamilies":["IPv4"],"ipFamilyPolicy":"SingleStack",`, `,"protocol":"TCP","targetPort":`, `","port":`,
	`},"sessionAffinity":"None","type":"ClusterIP"},"status":{"loadBalancer":{}}}`,
}

// marks are the control characters, but for those that a text file may have, and bytes that are not of UTF-8.
const marks = "\x01\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\xf8\xf9\xfa\xfb"

var shorten, amplify = replacers()

func replacers() (to, from *strings.Replacer) {
	var there, back []string
	for i, s := range often {
		there, back = append(there, s, marks[i:i+1]), append(back, marks[i:i+1], s)
	}
	return strings.NewReplacer(there...), strings.NewReplacer(back...)
}
