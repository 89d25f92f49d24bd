namespace MemSim;

/// <content>Swap.</content>
public sealed partial class Machine
{
    private readonly Lock _swapCreation = new();
    private SwapSpace? _swap;

    /// <summary>The swap areas and what is in them, made when first asked for.</summary>
    public SwapSpace Swap => Volatile.Read(ref _swap) ?? MakeSwap();

    /// <summary>Swap if it was ever used.</summary>
    internal SwapSpace? SwapIfUsed => _swap;

    private SwapSpace MakeSwap()
    {
        ThrowIfDisposed();
        lock (_swapCreation)
        {
            return _swap ??= new SwapSpace(this);
        }
    }
}
