using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;

namespace MemSim.Tests.House;

/// <summary>A lock taken while another is held, with the calls that lead there.</summary>
internal sealed record LockEdge(string Held, string Taken, string Place, string Way);

/// <summary>Which locks the core has, how they are taken, and which while others are held: read from the sources, through all calls.</summary>
/// <remarks>
/// A call of an interface's or base class's method may go to every implementation in the core; delegates are not followed. Between taking and giving back, everything in the text counts as
/// held, but for what follows a give-back in a block that is left at once.
/// </remarks>
internal sealed class LockUses
{
    private static readonly string[] LockTypes = ["Lock", "MachineLock", "PaddedLock"];

    /// <summary>Types that locks are made of: what they do inside takes no other lock.</summary>
    private static readonly string[] Mechanism = ["MachineLock", "PaddedLock", "LockScope"];

    private readonly SourceUses _sources;
    private readonly Dictionary<IMethodSymbol, MethodFacts> _methods = new(SymbolEqualityComparer.Default);
    private readonly Dictionary<IMethodSymbol, List<IMethodSymbol>> _implementations = new(SymbolEqualityComparer.Default);

    public LockUses(SourceUses sources)
    {
        _sources = sources;
        FindImplementations();
        foreach (SyntaxTree tree in sources.Trees)
        {
            SemanticModel model = sources.Compilation.GetSemanticModel(tree);
            foreach (SyntaxNode node in tree.GetRoot().DescendantNodes())
            {
                if (BodyOf(node) is { } body && model.GetDeclaredSymbol(node) is IMethodSymbol method && !Mechanism.Contains(method.ContainingType.Name))
                {
                    _methods[method.OriginalDefinition] = new MethodFacts(method, body, model);
                }
            }
        }

        foreach (MethodFacts facts in _methods.Values)
        {
            Read(facts);
        }

        PassWrappersOn();
        foreach (MethodFacts facts in _methods.Values)
        {
            facts.CloseRegions();
        }
    }

    /// <summary>Fields that are locks, as <c>Type.Field</c>: those of a lock's type, and whatever is locked or taken by compare and exchange.</summary>
    public SortedSet<string> Locks()
    {
        SortedSet<string> found = new(StringComparer.Ordinal);
        foreach (INamedTypeSymbol type in _sources.Types())
        {
            foreach (IFieldSymbol field in type.GetMembers().OfType<IFieldSymbol>().Where(f => LockTypes.Contains(f.Type.Name) && !Mechanism.Contains(type.Name)))
            {
                found.Add(NameOf(field));
            }
        }

        found.UnionWith(_methods.Values.SelectMany(m => m.Events).Where(e => e.Call is null).Select(e => e.Lock!));
        return found;
    }

    /// <summary>How each lock is taken: <c>lock</c>, the scope's type, or the types whose methods enter it.</summary>
    public Dictionary<string, SortedSet<string>> WaysIn()
    {
        Dictionary<string, SortedSet<string>> ways = [];
        foreach (MethodFacts facts in _methods.Values)
        {
            foreach (LockEvent e in facts.Events.Where(e => e.Call is null && e.Kind is EventKind.Enter or EventKind.Whole && !facts.LetsGo(e.Lock!)))
            {
                if (!ways.TryGetValue(e.Lock!, out SortedSet<string>? set))
                {
                    ways[e.Lock!] = set = new SortedSet<string>(StringComparer.Ordinal);
                }

                set.Add(e.Form);
            }
        }

        return ways;
    }

    /// <summary>Every pair of locks of which one is taken while the other is held.</summary>
    /// <param name="notTaken">Calls that are never made while the lock is held, as <c>Type.Method</c> of caller and called.</param>
    public List<LockEdge> Edges(IReadOnlyCollection<(string Caller, string Called)> notTaken)
    {
        SortedDictionary<string, Dictionary<string, LockEdge>> edges = new(StringComparer.Ordinal);
        foreach (IGrouping<string, (string Held, bool IsBegunByCall, MethodFacts Facts, List<LockEvent> Inside)> held in _methods.Values
            .SelectMany(facts => facts.Regions.Select(r => (r.Held, r.IsBegunByCall, facts, r.Inside))).GroupBy(r => r.Held))
        {
            Dictionary<string, LockEdge> taken = edges[held.Key] = [];
            Dictionary<IMethodSymbol, (IMethodSymbol? From, MethodFacts Begin)> seen = new(SymbolEqualityComparer.Default);
            Queue<IMethodSymbol> waiting = new();
            foreach ((_, bool isBegunByCall, MethodFacts facts, List<LockEvent> inside) in held)
            {
                foreach (LockEvent e in inside)
                {
                    if (e.Call is null)
                    {
                        taken.TryAdd(e.Lock!, new LockEdge(held.Key, e.Lock!, facts.Name, "itself"));
                    }
                    else if (!isBegunByCall || !_methods.TryGetValue(e.Call, out MethodFacts? callee) || !callee.Events.Exists(t => t.Kind == EventKind.Enter && t.Lock == held.Key))
                    {
                        Go(facts, e.Call, null, facts);
                    }
                }
            }

            while (waiting.TryDequeue(out IMethodSymbol? at))
            {
                if (!_methods.TryGetValue(at, out MethodFacts? facts) || facts.LetsGo(held.Key))
                {
                    continue;
                }

                foreach (LockEvent e in facts.Events)
                {
                    if (e.Kind == EventKind.Call)
                    {
                        Go(facts, e.Call!, at, seen[at].Begin);
                    }
                    else if (e.Call is null && e.Kind != EventKind.Exit && !taken.ContainsKey(e.Lock!))
                    {
                        List<string> way = [];
                        for (IMethodSymbol? step = at; step is not null; step = seen[step].From)
                        {
                            way.Insert(0, $"{step.ContainingType.Name}.{step.Name}");
                        }

                        taken.Add(e.Lock!, new LockEdge(held.Key, e.Lock!, seen[at].Begin.Name, string.Join(" > ", way)));
                    }
                }
            }

            void Go(MethodFacts caller, IMethodSymbol called, IMethodSymbol? from, MethodFacts begin)
            {
                foreach (IMethodSymbol target in Targets(called))
                {
                    if (!notTaken.Contains((caller.Name, $"{target.ContainingType.Name}.{target.Name}")) && seen.TryAdd(target, (from, begin)))
                    {
                        waiting.Enqueue(target);
                    }
                }
            }
        }

        return [.. edges.Values.SelectMany(e => e.Values).OrderBy(e => e.Held, StringComparer.Ordinal).ThenBy(e => e.Taken, StringComparer.Ordinal)];
    }

    private static string NameOf(ISymbol field) => $"{field.ContainingType.Name}.{field.Name}";

    private static SyntaxNode? BodyOf(SyntaxNode node) => node switch
    {
        BaseMethodDeclarationSyntax method => (SyntaxNode?)method.Body ?? method.ExpressionBody,
        AccessorDeclarationSyntax accessor => (SyntaxNode?)accessor.Body ?? accessor.ExpressionBody,
        LocalFunctionStatementSyntax local => (SyntaxNode?)local.Body ?? local.ExpressionBody,
        ArrowExpressionClauseSyntax { Parent: PropertyDeclarationSyntax or IndexerDeclarationSyntax } arrow => arrow,
        _ => null,
    };

    private IEnumerable<IMethodSymbol> Targets(IMethodSymbol called) =>
        _implementations.TryGetValue(called, out List<IMethodSymbol>? others) ? others.Prepend(called) : [called];

    private void FindImplementations()
    {
        foreach (INamedTypeSymbol type in _sources.Types())
        {
            foreach (IMethodSymbol method in type.GetMembers().OfType<IMethodSymbol>())
            {
                for (IMethodSymbol? over = method.OverriddenMethod; over is not null; over = over.OverriddenMethod)
                {
                    Add(over, method);
                }
            }

            foreach (IMethodSymbol member in type.AllInterfaces.SelectMany(i => i.GetMembers().OfType<IMethodSymbol>()))
            {
                if (type.TypeKind is TypeKind.Class or TypeKind.Struct && type.FindImplementationForInterfaceMember(member) is IMethodSymbol made)
                {
                    Add(member, made);
                }
            }
        }

        void Add(IMethodSymbol of, IMethodSymbol made)
        {
            of = of.OriginalDefinition;
            if (!_implementations.TryGetValue(of, out List<IMethodSymbol>? list))
            {
                _implementations[of] = list = [];
            }

            list.Add(made.OriginalDefinition);
        }
    }

    private void Read(MethodFacts facts)
    {
        foreach (SyntaxNode node in facts.Body.DescendantNodes(n => n is not LocalFunctionStatementSyntax))
        {
            switch (node)
            {
                case LockStatementSyntax statement:
                    facts.Add(new LockEvent(EventKind.Whole, LockedBy(facts, statement.Expression), null, statement.Span.Start, statement.Span.End, "lock"));
                    break;
                case InvocationExpressionSyntax call when facts.Model.GetSymbolInfo(call).Symbol is IMethodSymbol method:
                    ReadCall(facts, call, method.ReducedFrom ?? method);
                    break;
                case BaseObjectCreationExpressionSyntax made when facts.Model.GetSymbolInfo(made).Symbol is IMethodSymbol constructor:
                    if (constructor.ContainingType.Name == "LockScope")
                    {
                        AddScoped(facts, made, LockedBy(facts, made.ArgumentList!.Arguments[0].Expression), null, "LockScope");
                    }
                    else
                    {
                        AddScoped(facts, made, null, constructor.OriginalDefinition, "");
                    }

                    break;
                case IdentifierNameSyntax name when facts.Model.GetSymbolInfo(name).Symbol is IPropertySymbol property && property.DeclaringSyntaxReferences.Length != 0:
                    foreach (IMethodSymbol accessor in new[] { property.GetMethod, property.SetMethod }.OfType<IMethodSymbol>())
                    {
                        facts.Add(new LockEvent(EventKind.Call, null, accessor.OriginalDefinition, node.Span.Start, node.Span.Start, ""));
                    }

                    break;
                case LocalDeclarationStatementSyntax { UsingKeyword.RawKind: not 0 } declaration when facts.Model.GetTypeInfo(declaration.Declaration.Type).Type is { } type:
                    AddDispose(facts, type, declaration.Parent!.Span.End - 1);
                    break;
                case UsingStatementSyntax statement when (statement.Expression is { } e ? facts.Model.GetTypeInfo(e).Type : facts.Model.GetTypeInfo(statement.Declaration!.Type).Type) is { } type:
                    AddDispose(facts, type, statement.Span.End - 1);
                    break;
            }
        }
    }

    private static void AddDispose(MethodFacts facts, ITypeSymbol type, int at)
    {
        if (type.GetMembers("Dispose").OfType<IMethodSymbol>().FirstOrDefault(m => m.Parameters.Length == 0) is { } dispose)
        {
            facts.Add(new LockEvent(EventKind.Call, null, dispose.OriginalDefinition, at, at, ""));
        }
    }

    private void ReadCall(MethodFacts facts, InvocationExpressionSyntax call, IMethodSymbol method)
    {
        string type = method.ContainingType.Name;
        bool isLock = LockTypes.Contains(type) || type == "Monitor";
        if (isLock && method.Name is "Enter" or "TryEnter" or "EnterScope")
        {
            facts.Add(new LockEvent(EventKind.Enter, LockedBy(facts, LockOf(call, type)), null, call.Span.Start, call.Span.Start, FormOf(facts)));
        }
        else if (isLock && method.Name == "Exit")
        {
            facts.Add(new LockEvent(EventKind.Exit, LockedBy(facts, LockOf(call, type)), null, call.Span.Start, call.Span.Start, "", Jumps(call)));
        }
        else if (type == "Interlocked" && method.Name == "CompareExchange" && call.ArgumentList.Arguments is [{ Expression: var taken }, { Expression: LiteralExpressionSyntax { Token.ValueText: "1" } }, { Expression: LiteralExpressionSyntax { Token.ValueText: "0" } }])
        {
            facts.Add(new LockEvent(EventKind.Enter, LockedBy(facts, taken), null, call.Span.Start, call.Span.Start, FormOf(facts)));
        }
        else if (type == "Volatile" && method.Name == "Write" && call.ArgumentList.Arguments is [{ Expression: var given }, { Expression: LiteralExpressionSyntax { Token.ValueText: "0" } }])
        {
            facts.Add(new LockEvent(EventKind.Exit, LockedBy(facts, given), null, call.Span.Start, call.Span.Start, "", Jumps(call)));
        }
        else if (method.DeclaringSyntaxReferences.Length != 0 || _implementations.ContainsKey(method.OriginalDefinition))
        {
            AddScoped(facts, call, null, method.OriginalDefinition, "");
        }
    }

    private static string FormOf(MethodFacts facts) =>
        facts.Method.ContainingType is { IsRefLikeType: true, ContainingType: { } owner } scope ? $"{owner.Name}.{scope.Name}" : facts.Method.ContainingType.Name;

    /// <summary>Adds what takes a lock until the end of the block, if it is the value of a <c>using</c>.</summary>
    private static void AddScoped(MethodFacts facts, SyntaxNode node, string? lockName, IMethodSymbol? call, string form)
    {
        int end = node.FirstAncestorOrSelf<SyntaxNode>(n => n is UsingStatementSyntax or LocalDeclarationStatementSyntax or StatementSyntax) switch
        {
            UsingStatementSyntax statement when statement.Statement.Span.Start > node.Span.Start => statement.Span.End,
            LocalDeclarationStatementSyntax { UsingKeyword.RawKind: not 0 } declaration => declaration.Parent!.Span.End,
            _ => -1,
        };
        EventKind kind = call is null ? end < 0 ? EventKind.Enter : EventKind.Whole : EventKind.Call;
        facts.Add(new LockEvent(kind, lockName, call, node.Span.Start, end, form, Jumps(node)));
    }

    /// <summary>Whether the block around a give-back is left at its end: what follows the block is reached with the lock held.</summary>
    private static bool Jumps(SyntaxNode node) =>
        node.FirstAncestorOrSelf<BlockSyntax>() is { Statements: [.., ReturnStatementSyntax or ContinueStatementSyntax or BreakStatementSyntax or ThrowStatementSyntax] } block && block.Parent is not BaseMethodDeclarationSyntax;

    private static ExpressionSyntax LockOf(InvocationExpressionSyntax call, string type) =>
        type == "Monitor" ? call.ArgumentList.Arguments[0].Expression
        : call.Expression is MemberAccessExpressionSyntax access ? access.Expression
        : call.FirstAncestorOrSelf<ConditionalAccessExpressionSyntax>()!.Expression;

    private static string LockedBy(MethodFacts facts, ExpressionSyntax expression) =>
        facts.Model.GetSymbolInfo(expression).Symbol switch
        {
            IFieldSymbol field => NameOf(field.OriginalDefinition),
            ISymbol other => $"{facts.Name}: {other.Name}",
            null => $"{facts.Name}: ?",
        };

    /// <summary>A method that takes a lock and leaves it held, or gives it back for its caller, counts as that where it is called.</summary>
    private void PassWrappersOn()
    {
        bool changed = true;
        while (changed)
        {
            changed = false;
            foreach (MethodFacts facts in _methods.Values)
            {
                foreach (LockEvent e in facts.Events.Where(e => e.Kind == EventKind.Call).ToList())
                {
                    if (_methods.TryGetValue(e.Call!, out MethodFacts? callee))
                    {
                        foreach (string left in callee.LeavesHeld().ToList())
                        {
                            changed |= facts.AddOnce(new LockEvent(e.End > e.Start ? EventKind.Whole : EventKind.Enter, left, e.Call, e.Start, e.End, "", false));
                        }

                        foreach (string given in callee.GivesBack().ToList())
                        {
                            changed |= facts.AddOnce(new LockEvent(EventKind.Exit, given, e.Call, e.Start, e.Start, "", e.Jumps));
                        }
                    }
                }
            }
        }
    }

    private enum EventKind
    {
        Enter,
        Exit,
        Whole,
        Call,
    }

    private sealed record LockEvent(EventKind Kind, string? Lock, IMethodSymbol? Call, int Start, int End, string Form, bool Jumps = false);

    private sealed class MethodFacts(IMethodSymbol method, SyntaxNode body, SemanticModel model)
    {
        public IMethodSymbol Method => method;

        public SyntaxNode Body => body;

        public SemanticModel Model => model;

        public string Name => $"{method.ContainingType.Name}.{(method.AssociatedSymbol ?? method).Name}";

        public List<LockEvent> Events { get; } = [];

        /// <summary>What lies between taking a lock and giving it back; begun by a call where one of those before takes it and gives no sign of it.</summary>
        public List<(string Held, bool IsBegunByCall, List<LockEvent> Inside)> Regions { get; } = [];

        public void Add(LockEvent e) => Events.Add(e);

        public bool AddOnce(LockEvent e)
        {
            if (Events.Exists(o => o.Kind == e.Kind && o.Lock == e.Lock && o.Start == e.Start))
            {
                return false;
            }

            Events.Add(e);
            return true;
        }

        /// <summary>Locks that are held when the method returns: those it takes itself, or by making the scope that it returns.</summary>
        public IEnumerable<string> LeavesHeld() =>
            Events.Where(e => e.Kind == EventKind.Enter && (e.Call is null || method.ReturnType.IsRefLikeType)).Select(e => e.Lock!).Distinct().Where(l => !Events.Exists(e => e.Kind == EventKind.Exit && e.Lock == l));

        public IEnumerable<string> GivesBack() =>
            Events.Where(e => e.Kind == EventKind.Exit && e.Call is null).Select(e => e.Lock!).Distinct().Where(l => !Events.Exists(e => e.Kind == EventKind.Enter && e.Lock == l));

        /// <summary>Whether the method lets go of a lock that its caller holds before it does anything, as one that sleeps does.</summary>
        public bool LetsGo(string name) => Events.Where(e => e.Lock == name && e.Kind is EventKind.Enter or EventKind.Exit && e.Lock == name).MinBy(e => e.Start) is { Kind: EventKind.Exit };

        public void CloseRegions()
        {
            foreach (LockEvent whole in Events.Where(e => e.Kind == EventKind.Whole))
            {
                Regions.Add((whole.Lock!, false, Inside(whole, whole.Start, whole.End)));
            }

            foreach (string name in Events.Where(e => e.Kind is EventKind.Enter or EventKind.Exit).Select(e => e.Lock!).Distinct())
            {
                List<LockEvent> own = [.. Events.Where(e => e.Lock == name && e.Kind is EventKind.Enter or EventKind.Exit).OrderBy(e => e.Start)];
                own.RemoveAll(e => e.Lock != name);
                LockEvent? begun = own[0].Kind == EventKind.Exit ? own[0] : null;
                int from = begun is null ? -1 : body.Span.Start;
                if (begun is { Jumps: true })
                {
                    // A call in the same block took it and gave no sign of it.
                    Regions.Add((name, true, Inside(begun, BlockAt(begun.Start).Span.Start, begun.Start)));
                    from = -1;
                }

                foreach (LockEvent e in own)
                {
                    if (e.Kind == EventKind.Enter && from < 0)
                    {
                        (begun, from) = (e, e.Start);
                    }
                    else if (e.Kind == EventKind.Exit && from >= 0 && !e.Jumps)
                    {
                        Regions.Add((name, begun!.Kind == EventKind.Exit, Inside(begun, from, e.Start)));
                        from = -1;
                    }
                }

                if (from >= 0 && own.Exists(e => e.Kind == EventKind.Exit))
                {
                    Regions.Add((name, begun!.Kind == EventKind.Exit, Inside(begun, from, body.Span.End)));
                }
            }
        }

        private BlockSyntax BlockAt(int position) => body.FindToken(position).Parent!.FirstAncestorOrSelf<BlockSyntax>()!;

        private List<LockEvent> Inside(LockEvent begun, int from, int to)
        {
            // After a give-back in a block that is left, the rest of that block does not hold it.
            List<(int, int)> left = [.. Events.Where(e => e.Kind == EventKind.Exit && e.Lock == begun.Lock && e.Jumps)
                .Select(e => (e.Start, BlockAt(e.Start).Span.End))];
            return [.. Events.Where(e => !ReferenceEquals(e, begun) && e.Start >= from && e.Start < to && e.Kind != EventKind.Exit
                && !(e.Call is not null && ReferenceEquals(e.Call, begun.Call) && e.Start == begun.Start)
                && !(e.Call is not null && e.Kind != EventKind.Call)
                && !left.Exists(l => e.Start > l.Item1 && e.Start < l.Item2))];
        }
    }
}
