package historyserver

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"

	"github.com/tegata-dev/tegata/api/history/v1alpha1"
)

// newScheme knows what is served, and what of it can be selected.
func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	for kind, selectors := range map[string]selectors{"AccessRecord": recordSelectors, "UserUsage": usageSelectors} {
		if err := scheme.AddFieldLabelConversionFunc(v1alpha1.GroupVersion.WithKind(kind), selectors.check); err != nil {
			return nil, err
		}
	}
	// Every API server answers with these.
	core := schema.GroupVersion{Version: "v1"}
	metav1.AddToGroupVersion(scheme, core)
	scheme.AddUnversionedTypes(core, &metav1.Status{}, &metav1.APIVersions{}, &metav1.APIGroupList{}, &metav1.APIGroup{}, &metav1.APIResourceList{})
	return scheme, nil
}

func newCodecs(scheme *runtime.Scheme) serializer.CodecFactory {
	return serializer.NewCodecFactory(scheme)
}
