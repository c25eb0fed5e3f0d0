package passwd

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

func TestStrength(t *testing.T) {
	user := &v1alpha1.RelayUser{
		ObjectMeta: metav1.ObjectMeta{Name: "hanako"},
		Spec:       v1alpha1.RelayUserSpec{UserName: "yamadahanako", ServerRef: v1alpha1.LocalReference{Name: "fujisan"}},
	}
	for plain, strong := range map[string]bool{
		"password":                   false,
		"12345678901234567890":       false,
		"qwertyuiop":                 false,
		"yamadahanako1":              false, // her own name
		"fujisan2026":                false,
		"aaaaaaaaaaaaaaaaaaaa":       false,
		"correct-horse-battery":      true,
		"xK9#mQ2$vL7@":               true,
		"山田は今日も元気です":                 true,
		strings.Repeat("長い合言葉。", 40): true,
	} {
		err := checkStrength([]byte(plain), user)
		if (err == nil) != strong {
			t.Errorf("%q: %v, want strong %v", plain, err, strong)
		}
		if err != nil && plain != "password" && strings.Contains(err.Error(), plain) { // it speaks of the password
			t.Errorf("the error quotes the password: %v", err)
		}
	}
}

// FuzzStrength: what a person types must neither end the program nor keep it busy.
func FuzzStrength(f *testing.F) {
	user := &v1alpha1.RelayUser{ObjectMeta: metav1.ObjectMeta{Name: "taro"}}
	f.Add([]byte("taro\x00\xff"))
	f.Add([]byte("1990/01/01"))
	f.Fuzz(func(_ *testing.T, plain []byte) {
		_ = checkStrength(plain, user)
	})
}
