package objects_test

import (
	"os"
	"strings"
	"testing"

	"waybill/internal/store/objects"
)

func TestKeys(t *testing.T) {
	file := t.TempDir() + "/keys"
	for content, want := range map[string]string{
		"aws_access_key_id = A\naws_secret_access_key=S=\n": "",
		"# c\n[other]\naws_access_key_id = X\n[default]\nAWS_ACCESS_KEY_ID=A\nregion = x\naws_secret_access_key = S=\n[o]\naws_secret_access_key=T": "",
		"":                           "it needs the lines",
		"aws_access_key_id = A":      "it needs the lines",
		"A\nsecret words":            "line 1 is no name = value",
		"[x]\naws_access_key_id = A": "it needs the lines",
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		k, err := objects.ReadKeys(file)
		switch {
		case want == "" && (err != nil || k.Access != "A" || k.Secret != "S=" || k.From != file):
			t.Errorf("%q: %v, %v", content, k, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret words")):
			t.Errorf("%q: %v, want %q", content, err, want)
		}
	}
	if _, err := objects.ReadKeys(file + "x"); err == nil {
		t.Error("a file that is not there was read")
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "A")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	if _, err := objects.ReadKeys(""); err == nil || !strings.Contains(err.Error(), "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") {
		t.Error(err)
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "S")
	if k, err := objects.ReadKeys(""); err != nil || k.Access != "A" || k.Secret != "S" || strings.Contains(k.String(), "S)") {
		t.Error(k, err)
	}
}
