using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.RegularExpressions;
using FluentAssertions;
using MemSim.Recordings;
using MemSim.Tests.House;
using Xunit;

namespace MemSim.Tests;

/// <summary>What users can see is written down: a change of the assembly's public face shows in the diff of <c>PublicApi.txt</c>.</summary>
/// <remarks>After a wanted change, run the tests once with <c>MEMSIM_UPDATE_API=1</c> and commit the file.</remarks>
public partial class PublicApiTests
{
    private const BindingFlags Everything = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;

    private static readonly Assembly Core = typeof(Machine).Assembly;

    [Theory]
    [InlineData("PublicApi.txt", typeof(Machine))]
    [InlineData("PublicApi.Recordings.txt", typeof(TraceReplay))]
    public void The_public_api_is_the_one_that_is_written_down(string file, Type member)
    {
        string path = Path.Combine(SourceTree.TestFolder(), file);
        string actual = Describe(member.Assembly);
        if (Environment.GetEnvironmentVariable("MEMSIM_UPDATE_API") == "1")
        {
            File.WriteAllText(path, actual);
        }

        string[] expected = File.Exists(path) ? File.ReadAllLines(path) : [];
        string[] now = actual.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        string[] difference = [.. expected.Except(now).Select(l => "- " + l), .. now.Except(expected).Select(l => "+ " + l)];
        difference.Should().BeEmpty($"the public API changed: if that is wanted, run the tests with MEMSIM_UPDATE_API=1 and commit {file}");
    }

    [Fact]
    public void The_core_depends_on_nothing_but_the_logging_abstractions()
    {
        Core.GetReferencedAssemblies().Select(a => a.Name!)
            .Where(n => !n.StartsWith("System.", StringComparison.Ordinal) && n is not ("System" or "netstandard" or "mscorlib"))
            .Should().BeEquivalentTo("Microsoft.Extensions.Logging.Abstractions");
    }

    [Fact]
    public void Every_public_method_is_tested_shown_or_used_by_somebody()
    {
        string root = Path.GetFullPath(Path.Combine(SourceTree.TestFolder(), "..", ".."));
        string core = Path.Combine(root, "src", "MemSim") + Path.DirectorySeparatorChar;
        HashSet<string> words = [];
        foreach (string file in new[] { "src", "tests", "docs", "benchmarks" }.SelectMany(folder => Directory.EnumerateFiles(Path.Combine(root, folder), "*", SearchOption.AllDirectories))
            .Where(f => Path.GetExtension(f) is ".cs" or ".md" or ".razor" && !f.StartsWith(core, StringComparison.Ordinal) && !f.Split(Path.DirectorySeparatorChar).Any(part => part is "obj" or "bin" or "changes.md")))
        {
            words.UnionWith(Words().Matches(File.ReadAllText(file)).Select(match => match.Value));
        }

        IEnumerable<string> nobody = Core.GetExportedTypes().SelectMany(type => type.GetMethods(Everything).Where(m => IsVisible(m) && !m.IsSpecialName && m.GetCustomAttribute<CompilerGeneratedAttribute>() is null && !typeof(Delegate).IsAssignableFrom(type)
                && m.Name != "GetEnumerator" && !m.Name.StartsWith("get_", StringComparison.Ordinal) && m.GetBaseDefinition() == m && m.DeclaringType == type)
            .Select(m => (Name: $"{NameOf(type)}.{m.Name}", Method: m.Name))).Where(m => !words.Contains(m.Method)).Select(m => m.Name).Distinct();

        nobody.Should().BeEmpty("what nobody tests, shows or uses is taken out, or gets a test");
    }

    [GeneratedRegex(@"[A-Za-z_]\w*", RegexOptions.CultureInvariant)]
    private static partial Regex Words();

    private static string Describe(Assembly assembly)
    {
        StringBuilder text = new();
        foreach (Type type in assembly.GetExportedTypes().OrderBy(NameOf, StringComparer.Ordinal))
        {
            text.Append(Kind(type)).Append(' ').Append(NameOf(type)).Append('\n');
            foreach (string member in type.GetMembers(Everything).Select(Signature).OfType<string>().Order(StringComparer.Ordinal))
            {
                text.Append(NameOf(type)).Append(": ").Append(member).Append('\n');
            }
        }

        return text.ToString();
    }

    private static string Kind(Type type) =>
        type.IsEnum ? "enum" : type.IsInterface ? "interface" : type.IsValueType ? "struct" : type.IsAbstract && type.IsSealed ? "static class" : type.IsSealed ? "sealed class" : "class";

    private static string? Signature(MemberInfo member)
    {
        bool hidden = member.GetCustomAttribute<CompilerGeneratedAttribute>() is not null && member is not PropertyInfo;
        return member switch
        {
            FieldInfo f when f.IsPublic || f.IsFamily => f.IsLiteral && f.FieldType.IsEnum ? $"{f.Name} = {Convert.ToInt64(f.GetRawConstantValue(), null)}" : f.IsLiteral ? $"const {NameOf(f.FieldType)} {f.Name} = {f.GetRawConstantValue()}" : f.IsSpecialName ? null : $"field {NameOf(f.FieldType)} {f.Name}",
            PropertyInfo p when IsVisible(p.GetMethod) || IsVisible(p.SetMethod) => $"{Static(p.GetMethod ?? p.SetMethod)}{NameOf(p.PropertyType)} {p.Name} {{{(IsVisible(p.GetMethod) ? " get;" : "")}{(IsVisible(p.SetMethod) ? IsInit(p) ? " init;" : " set;" : "")} }}",
            ConstructorInfo c when IsVisible(c) => $"new({Parameters(c)})",
            MethodInfo m when IsVisible(m) && !hidden && (!m.IsSpecialName || m.Name.StartsWith("op_", StringComparison.Ordinal)) => $"{Static(m)}{NameOf(m.ReturnType)} {m.Name}({Parameters(m)})",
            EventInfo e when IsVisible(e.AddMethod) => $"event {NameOf(e.EventHandlerType!)} {e.Name}",
            _ => null,
        };
    }

    private static string Static(MethodInfo? method) => method is { IsStatic: true } ? "static " : "";

    private static bool IsInit(PropertyInfo property) => property.SetMethod!.ReturnParameter.GetRequiredCustomModifiers().Contains(typeof(IsExternalInit));

    private static bool IsVisible(MethodBase? method) => method is not null && (method.IsPublic || method.IsFamily || method.IsFamilyOrAssembly);

    private static string Parameters(MethodBase method) => string.Join(", ", method.GetParameters().Select(p => $"{(p.IsOut ? "out " : p.ParameterType.IsByRef ? "ref " : "")}{NameOf(p.ParameterType)} {p.Name}{(p.HasDefaultValue ? " = " + (p.DefaultValue ?? "null") : "")}"));

    private static string NameOf(Type type)
    {
        if (type.IsByRef || type.IsArray)
        {
            return NameOf(type.GetElementType()!) + (type.IsArray ? "[]" : "");
        }

        if (type.IsGenericParameter)
        {
            return type.Name;
        }

        string prefix = type.IsNested ? NameOf(type.DeclaringType!) + "." : type.Namespace is "System" or null ? "" : type.Namespace.StartsWith("System.", StringComparison.Ordinal) ? "" : type.Namespace + ".";
        string name = type.Name.Split('`')[0];
        Type[] arguments = type.GetGenericArguments();
        return prefix + name + (arguments.Length != 0 ? $"<{string.Join(", ", arguments.Select(NameOf))}>" : "");
    }
}
