using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using MemSim.Kernels;

namespace MemSim.Snapshots;

/// <summary>Objects that all machines of a kernel and architecture share, by the names they have in files: rules and descriptions, which never change.</summary>
internal sealed class SharedObjects
{
    private readonly Dictionary<object, string> _names = new(ReferenceEqualityComparer.Instance);
    private readonly Dictionary<string, object> _objects = new(StringComparer.Ordinal);

    [UnconditionalSuppressMessage("Trimming", "IL2026", Justification = "ILLink.Descriptors.xml keeps the library's types.")]
    public SharedObjects(KernelPersonality kernel, ArchitectureInfo architecture)
    {
        Kernel = kernel;
        Add("kernel", kernel);
        foreach (PropertyInfo rules in typeof(KernelPersonality).GetProperties())
        {
            if (!rules.PropertyType.IsValueType && rules.PropertyType != typeof(string) && rules.GetMethod is { IsStatic: false } && rules.GetValue(kernel) is { } value)
            {
                Add("kernel." + rules.Name, value);
            }
        }

        Add("architecture", architecture);
        Add("no reclaim", NoReclaim.Instance);
    }

    public KernelPersonality Kernel { get; }

    public string? NameOf(object shared) => _names.GetValueOrDefault(shared);

    public object Find(string name) => _objects.TryGetValue(name, out object? found) ? found : throw new FormatException($"'{name}' is nothing that this kernel has");

    private void Add(string name, object shared)
    {
        _names[shared] = name;
        _objects[name] = shared;
    }
}
