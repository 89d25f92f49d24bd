namespace MemSim.Ksm;

/// <summary>A node of a <see cref="ContentTree"/>.</summary>
internal abstract class ContentNode
{
    // The tree's.
    internal ContentNode? Parent;
    internal ContentNode? Left;
    internal ContentNode? Right;
    internal bool IsRed;

    /// <summary>The tree it is in; null for none.</summary>
    internal ContentTree? Tree;
}

/// <summary>Nodes in the order of the bytes of their pages, a red-black tree. Whoever searches walks it, because a page may be gone when he comes by.</summary>
/// <remarks>
/// Contents may change while a node is in the tree: then it stands in the wrong place, is missed by searches, and goes by its links all the same. Which nodes a search comes by decides what
/// is found to be gone, so the tree has the shape that the kernel's has.
/// </remarks>
internal sealed class ContentTree
{
    public ContentNode? Root { get; private set; }

    /// <summary>Adds a node below one that has no child on that side; null for an empty tree.</summary>
    public void Insert(ContentNode node, ContentNode? parent, bool left)
    {
        (node.Parent, node.Left, node.Right, node.IsRed, node.Tree) = (parent, null, null, true, this);
        if (parent is null)
        {
            Root = node;
        }
        else if (left)
        {
            parent.Left = node;
        }
        else
        {
            parent.Right = node;
        }

        while (node.Parent is { IsRed: true } above && above.Parent is { } top)
        {
            bool isLeft = ReferenceEquals(top.Left, above);
            ContentNode? uncle = isLeft ? top.Right : top.Left;
            if (uncle is { IsRed: true })
            {
                above.IsRed = uncle.IsRed = false;
                top.IsRed = true;
                node = top;
                continue;
            }

            if (ReferenceEquals(isLeft ? above.Right : above.Left, node))
            {
                RotateUp(node);
                above = node;
            }

            above.IsRed = false;
            top.IsRed = true;
            RotateUp(above);
            break;
        }

        Root!.IsRed = false;
    }

    /// <summary>Takes a node out.</summary>
    public void Remove(ContentNode node)
    {
        if (node.Left is not null && node.Right is not null)
        {
            // The next one comes into its place, and leaves one with at most one child.
            ContentNode next = node.Right;
            while (next.Left is not null)
            {
                next = next.Left;
            }

            Swap(node, next);
        }

        ContentNode? child = node.Left ?? node.Right;
        ContentNode? parent = node.Parent;
        Hang(node, child);
        if (child is not null)
        {
            child.Parent = parent;
        }

        if (!node.IsRed)
        {
            if (child is { IsRed: true })
            {
                child.IsRed = false;
            }
            else
            {
                Restore(child, parent);
            }
        }

        node.Parent = node.Left = node.Right = null;
        node.Tree = null;
    }

    /// <summary>Puts a node in the place of another one with the same contents.</summary>
    public void Replace(ContentNode old, ContentNode fresh)
    {
        Hang(old, fresh);
        (fresh.Parent, fresh.Left, fresh.Right, fresh.IsRed, fresh.Tree) = (old.Parent, old.Left, old.Right, old.IsRed, this);
        Adopt(fresh);
        old.Parent = old.Left = old.Right = null;
        old.Tree = null;
    }

    /// <summary>Forgets all nodes.</summary>
    public void Clear() => Root = null;

    /// <summary>All nodes, ascending.</summary>
    public IEnumerable<ContentNode> Nodes()
    {
        Stack<ContentNode> open = new();
        ContentNode? node = Root;
        while (node is not null || open.Count != 0)
        {
            while (node is not null)
            {
                open.Push(node);
                node = node.Left;
            }

            node = open.Pop();
            yield return node;
            node = node.Right;
        }
    }

    /// <summary>The black nodes from a node down to every end; -1 where they differ, or where a red one has a red child.</summary>
    public static int BlackHeight(ContentNode? node)
    {
        if (node is null)
        {
            return 0;
        }

        int left = BlackHeight(node.Left);
        bool twoRed = node.IsRed && (node.Left is { IsRed: true } || node.Right is { IsRed: true });
        return left < 0 || left != BlackHeight(node.Right) || twoRed ? -1 : left + (node.IsRed ? 0 : 1);
    }

    /// <summary>A black node is missing above a child, which may be none.</summary>
    private void Restore(ContentNode? child, ContentNode? parent)
    {
        while (parent is not null && child is not { IsRed: true })
        {
            bool isLeft = ReferenceEquals(parent.Left, child);
            ContentNode sibling = (isLeft ? parent.Right : parent.Left)!;
            if (sibling.IsRed)
            {
                sibling.IsRed = false;
                parent.IsRed = true;
                RotateUp(sibling);
                sibling = (isLeft ? parent.Right : parent.Left)!;
            }

            ContentNode? near = isLeft ? sibling.Left : sibling.Right;
            ContentNode? far = isLeft ? sibling.Right : sibling.Left;
            if (near is not { IsRed: true } && far is not { IsRed: true })
            {
                sibling.IsRed = true;
                child = parent;
                parent = child.Parent;
                continue;
            }

            if (far is not { IsRed: true })
            {
                near!.IsRed = false;
                sibling.IsRed = true;
                RotateUp(near);
                sibling = near;
                far = isLeft ? sibling.Right : sibling.Left;
            }

            sibling.IsRed = parent.IsRed;
            parent.IsRed = false;
            far!.IsRed = false;
            RotateUp(sibling);
            return;
        }

        if (child is not null)
        {
            child.IsRed = false;
        }
    }

    /// <summary>A node and the next one, below it, change places and colours.</summary>
    private void Swap(ContentNode node, ContentNode next)
    {
        bool isChild = ReferenceEquals(next.Parent, node);
        ContentNode? nextParent = next.Parent;
        ContentNode? nextRight = next.Right;
        Hang(node, next);
        next.Parent = node.Parent;
        next.Left = node.Left;
        if (isChild)
        {
            next.Right = node;
            node.Parent = next;
        }
        else
        {
            next.Right = node.Right;
            nextParent!.Left = node;
            node.Parent = nextParent;
        }

        node.Left = null;
        node.Right = nextRight;
        (node.IsRed, next.IsRed) = (next.IsRed, node.IsRed);
        Adopt(next);
        Adopt(node);
    }

    /// <summary>A node takes the place of its parent, which becomes its child.</summary>
    private void RotateUp(ContentNode node)
    {
        ContentNode above = node.Parent!;
        Hang(above, node);
        node.Parent = above.Parent;
        if (ReferenceEquals(above.Left, node))
        {
            above.Left = node.Right;
            node.Right = above;
        }
        else
        {
            above.Right = node.Left;
            node.Left = above;
        }

        Adopt(above);
        Adopt(node);
    }

    private static void Adopt(ContentNode node)
    {
        if (node.Left is { } left)
        {
            left.Parent = node;
        }

        if (node.Right is { } right)
        {
            right.Parent = node;
        }
    }

    /// <summary>What hangs below the parent of a node is another one now.</summary>
    private void Hang(ContentNode old, ContentNode? fresh)
    {
        if (old.Parent is not { } parent)
        {
            Root = ReferenceEquals(Root, old) ? fresh : Root;
        }
        else if (ReferenceEquals(parent.Left, old))
        {
            parent.Left = fresh;
        }
        else if (ReferenceEquals(parent.Right, old))
        {
            parent.Right = fresh;
        }
    }
}
