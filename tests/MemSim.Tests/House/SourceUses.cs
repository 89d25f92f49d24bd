using System.Collections.Concurrent;
using System.Collections.Immutable;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;

namespace MemSim.Tests.House;

/// <summary>A use of a member or type in another room.</summary>
internal sealed record Use(string From, string To, string File, int Line, string Symbol);

/// <summary>The sources of the core, compiled in memory: what uses what, method bodies included.</summary>
/// <remarks>
/// A room is a folder directly below <c>src/MemSim</c>; what lies beside them is the facade. The room of a use is that of the file that declares the member used. A type whose parts
/// lie in several rooms is, as a name, of the lowest of them: <c>Machine</c> and <c>Cpu</c> are handles that everybody holds, and what counts is which member is used.
/// </remarks>
internal sealed class SourceUses
{
    public const string Facade = "(facade)";

    private readonly string _folder;
    private readonly CSharpCompilation _compilation;

    public SourceUses(string folder)
    {
        _folder = folder;
        CSharpParseOptions options = new(LanguageVersion.Preview, DocumentationMode.None);
        List<SyntaxTree> trees = [CSharpSyntaxTree.ParseText("global using System; global using System.Collections.Generic; global using System.IO; global using System.Linq; global using System.Threading; global using System.Threading.Tasks;", options)];
        trees.AddRange(Directory.EnumerateFiles(folder, "*.cs", SearchOption.AllDirectories)
            .Where(f => !Relative(f).StartsWith("obj/", StringComparison.Ordinal) && !Relative(f).StartsWith("bin/", StringComparison.Ordinal))
            .Order(StringComparer.Ordinal)
            .Select(f => CSharpSyntaxTree.ParseText(File.ReadAllText(f), options, f)));
        string platform = (string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!;
        IEnumerable<MetadataReference> references = platform.Split(Path.PathSeparator)
            .Where(f => Path.GetFileName(f).StartsWith("System.", StringComparison.Ordinal) || Path.GetFileName(f) is "netstandard.dll" or "Microsoft.Extensions.Logging.Abstractions.dll" or "Microsoft.Extensions.DependencyInjection.Abstractions.dll")
            .Select(f => MetadataReference.CreateFromFile(f));
        _compilation = CSharpCompilation.Create("House", trees, references, new CSharpCompilationOptions(OutputKind.DynamicallyLinkedLibrary, allowUnsafe: true));
    }

    /// <summary>The files, relative to the folder.</summary>
    public IEnumerable<string> Files => Trees.Select(tree => Relative(tree.FilePath));

    /// <summary>The compilation, for those who look at more than names.</summary>
    public CSharpCompilation Compilation => _compilation;

    public IEnumerable<SyntaxTree> Trees => _compilation.SyntaxTrees.Where(tree => tree.FilePath.Length != 0);

    /// <summary>Every use of something that lies in another room.</summary>
    public List<Use> AcrossRooms(IReadOnlyList<string> order)
    {
        ConcurrentBag<Use> uses = [];
        HashSet<string> declared = Declared();
        Parallel.ForEach(Trees, tree =>
        {
            SemanticModel model = _compilation.GetSemanticModel(tree);
            string from = RoomOf(tree.FilePath);
            foreach (SimpleNameSyntax name in tree.GetRoot().DescendantNodes().OfType<SimpleNameSyntax>())
            {
                if (!declared.Contains(name.Identifier.ValueText))
                {
                    continue;
                }

                ISymbol? symbol = model.GetSymbolInfo(name).Symbol;
                if (symbol is IMethodSymbol { ReducedFrom: { } extension })
                {
                    symbol = extension;
                }

                if (symbol is INamedTypeSymbol or IFieldSymbol or IPropertySymbol or IMethodSymbol or IEventSymbol && RoomOf(symbol.OriginalDefinition, from, order) is { } to && to != from)
                {
                    string text = symbol is INamedTypeSymbol ? symbol.Name : $"{symbol.ContainingType?.Name}.{symbol.Name}";
                    uses.Add(new Use(from, to, Relative(tree.FilePath), tree.GetLineSpan(name.Span).StartLinePosition.Line + 1, text));
                }
            }
        });
        return [.. uses.OrderBy(use => use.File, StringComparer.Ordinal).ThenBy(use => use.Line)];
    }

    /// <summary>Static fields that can change, as <c>Type.Field</c>.</summary>
    public IEnumerable<string> MutableStatics()
    {
        string[] containers = ["List", "Dictionary", "HashSet", "Queue", "Stack", "SortedSet", "SortedDictionary", "ConcurrentDictionary", "ConcurrentQueue", "ConcurrentBag", "StringBuilder", "ThreadLocal", "AsyncLocal", "ConditionalWeakTable"];
        foreach (INamedTypeSymbol type in Types())
        {
            foreach (IFieldSymbol field in type.GetMembers().OfType<IFieldSymbol>().Where(f => f is { IsStatic: true, IsConst: false } && type.TypeKind != TypeKind.Enum))
            {
                if (!field.IsReadOnly || containers.Contains(field.Type.Name))
                {
                    yield return $"{type.Name}.{field.AssociatedSymbol?.Name ?? field.Name}";
                }
            }
        }
    }

    /// <summary>Where, outside of a room, a member of some types is an operand of a bit operation or a shift.</summary>
    public IEnumerable<string> BitsTakenApart(string[] types, string[] members, string room)
    {
        ConcurrentBag<string> found = [];
        Parallel.ForEach(Trees.Where(tree => RoomOf(tree.FilePath) != room), tree =>
        {
            SemanticModel model = _compilation.GetSemanticModel(tree);
            foreach (SimpleNameSyntax name in tree.GetRoot().DescendantNodes().OfType<SimpleNameSyntax>().Where(n => members.Contains(n.Identifier.ValueText)))
            {
                SyntaxNode operand = name;
                while (operand.Parent is MemberAccessExpressionSyntax or ParenthesizedExpressionSyntax or CastExpressionSyntax || operand.Parent is InvocationExpressionSyntax call && call.Expression == operand)
                {
                    operand = operand.Parent!;
                }

                bool takesApart = operand.Parent?.Kind() is SyntaxKind.BitwiseAndExpression or SyntaxKind.BitwiseOrExpression or SyntaxKind.ExclusiveOrExpression or SyntaxKind.BitwiseNotExpression
                    or SyntaxKind.LeftShiftExpression or SyntaxKind.RightShiftExpression or SyntaxKind.UnsignedRightShiftExpression or SyntaxKind.AndAssignmentExpression
                    or SyntaxKind.OrAssignmentExpression or SyntaxKind.ExclusiveOrAssignmentExpression;
                if (takesApart && model.GetSymbolInfo(name).Symbol?.ContainingType is { } type && types.Contains(type.Name))
                {
                    found.Add($"{Relative(tree.FilePath)}({tree.GetLineSpan(name.Span).StartLinePosition.Line + 1}) takes {type.Name}.{name.Identifier.ValueText} apart");
                }
            }
        });
        return found.Order(StringComparer.Ordinal);
    }

    /// <summary>Types with the number of their members, those of all parts together: fields, properties, events, methods and constructors that are written down.</summary>
    public IEnumerable<(string Type, int Members)> MemberCounts() =>
        Types().Where(type => type.TypeKind is TypeKind.Class or TypeKind.Struct or TypeKind.Interface)
            .Select(type => (type.Name, type.GetMembers().Count(m => !m.IsImplicitlyDeclared && m is IFieldSymbol or IPropertySymbol or IEventSymbol or IMethodSymbol { AssociatedSymbol: null } && !m.IsImplicitlyDeclared)));

    /// <summary>Names that the core declares: others, of locals and of the platform, need not be looked up.</summary>
    private HashSet<string> Declared()
    {
        HashSet<string> names = [];
        foreach (SyntaxNode node in Trees.SelectMany(tree => tree.GetRoot().DescendantNodes(descendIntoChildren: node => node is not BlockSyntax and not ArrowExpressionClauseSyntax)))
        {
            string? name = node switch
            {
                BaseTypeDeclarationSyntax type => type.Identifier.ValueText,
                DelegateDeclarationSyntax type => type.Identifier.ValueText,
                MethodDeclarationSyntax method => method.Identifier.ValueText,
                PropertyDeclarationSyntax property => property.Identifier.ValueText,
                EventDeclarationSyntax declared => declared.Identifier.ValueText,
                VariableDeclaratorSyntax field => field.Identifier.ValueText,
                EnumMemberDeclarationSyntax member => member.Identifier.ValueText,
                ParameterSyntax { Parent.Parent: RecordDeclarationSyntax } positional => positional.Identifier.ValueText,
                TupleElementSyntax element => element.Identifier.ValueText,
                _ => null,
            };
            if (name is not null && names.Add(name) && name.EndsWith("Attribute", StringComparison.Ordinal))
            {
                names.Add(name[..^"Attribute".Length]);
            }
        }

        return names;
    }

    public IEnumerable<INamedTypeSymbol> Types()
    {
        Stack<INamespaceOrTypeSymbol> waiting = new([_compilation.Assembly.GlobalNamespace]);
        while (waiting.TryPop(out INamespaceOrTypeSymbol? next))
        {
            if (next is INamedTypeSymbol type && type.DeclaringSyntaxReferences.Length != 0)
            {
                yield return type;
            }

            foreach (INamespaceOrTypeSymbol inner in next.GetMembers().OfType<INamespaceOrTypeSymbol>())
            {
                waiting.Push(inner);
            }
        }
    }

    /// <summary>The room of what a symbol names; null for what the core does not declare.</summary>
    private string? RoomOf(ISymbol symbol, string from, IReadOnlyList<string> order)
    {
        ImmutableArray<SyntaxReference> parts = symbol.DeclaringSyntaxReferences;
        if (parts.Length == 0)
        {
            // A default constructor, or a member of a record that the compiler wrote.
            parts = symbol.ContainingType?.DeclaringSyntaxReferences ?? [];
        }

        string? lowest = null;
        foreach (SyntaxReference part in parts)
        {
            string room = RoomOf(part.SyntaxTree.FilePath);
            if (room == from)
            {
                return room;
            }

            lowest = lowest is null || Rank(order, room) < Rank(order, lowest) ? room : lowest;
        }

        return lowest;
    }

    private static int Rank(IReadOnlyList<string> order, string room)
    {
        for (int i = 0; i < order.Count; i++)
        {
            if (order[i] == room)
            {
                return i;
            }
        }

        return order.Count;
    }

    private string RoomOf(string file)
    {
        string relative = Relative(file);
        int slash = relative.IndexOf('/', StringComparison.Ordinal);
        return slash < 0 ? Facade : relative[..slash];
    }

    private string Relative(string file) => Path.GetRelativePath(_folder, file).Replace('\\', '/');
}
