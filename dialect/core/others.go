package core

import (
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/validation/path"
	"sigs.k8s.io/gateway-api/pkg/consts"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
)

const (
	runs       = "it starts processes; on one machine, start them with weft run"
	forNode    = "it is for the node that runs a pod"
	forStorage = "it is about storage"
	forAPI     = "it is about who may use the API server, and how"
	forPlacing = "it is about where and how many pods run"
)

// others are the kinds that are not lowered. Those that could have an effect on calls are not supported yet.
func others() []dialect.Kind {
	kinds := []dialect.Kind{
		notYet[corev1.Endpoints]("", "Endpoints", "it is deprecated; write an EndpointSlice for the service"),
		noPart[appsv1.Deployment]("apps", "Deployment", runs),
		noPart[appsv1.StatefulSet]("apps", "StatefulSet", runs),
		noPart[appsv1.DaemonSet]("apps", "DaemonSet", runs),
		noPart[appsv1.ReplicaSet]("apps", "ReplicaSet", runs),
		noPart[appsv1.ControllerRevision]("apps", "ControllerRevision", runs),
		noPart[corev1.ReplicationController]("", "ReplicationController", runs),
		noPart[batchv1.Job]("batch", "Job", runs),
		noPart[batchv1.CronJob]("batch", "CronJob", runs),
		noPart[corev1.PodTemplate]("", "PodTemplate", runs),
		noPart[corev1.Event]("", "Event", "it is a message"),
		noPart[coordinationv1.Lease]("coordination.k8s.io", "Lease", "it is a controller's note to itself"),
	}
	return append(append(append(kinds, storage()...), placing()...), api()...)
}

func storage() []dialect.Kind {
	return []dialect.Kind{
		noPart[corev1.PersistentVolumeClaim]("", "PersistentVolumeClaim", forStorage),
		dialect.Cluster(noPart[corev1.PersistentVolume]("", "PersistentVolume", forStorage)),
		dialect.Cluster(noPart[storagev1.StorageClass]("storage.k8s.io", "StorageClass", forStorage)),
		dialect.Cluster(noPart[storagev1.CSIDriver]("storage.k8s.io", "CSIDriver", forStorage)),
	}
}

func placing() []dialect.Kind {
	hpa := noPart[autoscalingv2.HorizontalPodAutoscaler]("autoscaling", "HorizontalPodAutoscaler", forPlacing)
	hpa.Versions, hpa.Schema = []string{"v2", "v2beta2", "v1"}, nil // the versions differ in shape
	return []dialect.Kind{
		hpa,
		noPart[policyv1.PodDisruptionBudget]("policy", "PodDisruptionBudget", forPlacing),
		noPart[corev1.ResourceQuota]("", "ResourceQuota", forPlacing),
		noPart[corev1.LimitRange]("", "LimitRange", forPlacing),
		dialect.Cluster(noPart[schedulingv1.PriorityClass]("scheduling.k8s.io", "PriorityClass", forPlacing)),
	}
}

func api() []dialect.Kind {
	definition := dialect.Cluster(unshaped("apiextensions.k8s.io", "CustomResourceDefinition", forAPI))
	definition.Annotations = []string{consts.BundleVersionAnnotation} // which the status of a GatewayClass speaks of
	const rbac, admission = "rbac.authorization.k8s.io", "admissionregistration.k8s.io"
	return []dialect.Kind{
		noPart[rbacv1.Role](rbac, "Role", forAPI),
		noPart[rbacv1.RoleBinding](rbac, "RoleBinding", forAPI),
		dialect.Cluster(noPart[rbacv1.ClusterRole](rbac, "ClusterRole", forAPI)),
		dialect.Cluster(noPart[rbacv1.ClusterRoleBinding](rbac, "ClusterRoleBinding", forAPI)),
		dialect.Cluster(noPart[admissionv1.ValidatingWebhookConfiguration](admission, "ValidatingWebhookConfiguration", forAPI)),
		dialect.Cluster(noPart[admissionv1.MutatingWebhookConfiguration](admission, "MutatingWebhookConfiguration", forAPI)),
		definition,
		dialect.Cluster(unshaped("apiregistration.k8s.io", "APIService", forAPI)),
	}
}

// notYet is a kind that could have an effect on calls, and why it has none.
func notYet[T any](group, name, why string) dialect.Kind {
	k := kind[T](name)
	k.Group, k.Unsupported[""] = group, why
	return k
}

// noPart is a kind that no mesh has a use for, and why.
func noPart[T any](group, name, why string) dialect.Kind {
	k := kind[T](name)
	k.Group, k.Ignored[""], k.CheckName = group, why, anyName
	return k
}

func unshaped(group, name, why string) dialect.Kind {
	return dialect.Kind{Dialect: decision.Core, Group: group, Name: name, Versions: []string{"v1"}, CheckName: anyName,
		Ignored: map[string]string{"": why}}
}

// anyName is for kinds whose names are anything that fits into a URL, as "system:nodes".
func anyName(name string) []string { return path.IsValidPathSegmentName(name) }
